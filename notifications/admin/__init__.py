"""Staff's view of what SNS told us, a file for each matter. Ledgers are read-only; every action calls a verb."""

from notifications.admin import dash, messages, properties, topics  # noqa: F401  (registers them)
