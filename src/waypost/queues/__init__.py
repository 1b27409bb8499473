"""Drafts in from a broker's queue, the journal out to one: NATS JetStream and RabbitMQ, both optional."""
