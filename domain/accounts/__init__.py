"""Users, API keys, assets, fees and limits."""
