"""The operator's surface: users, keys, money, markets, fees, limits and halts, by HTTP or shell."""
