"""The door to Kafka: clients with the log's settings, topics, and the Log that hosts are given."""
