"""The room that hears Amazon SNS: the door, the inbox behind it, and the orders that come out of it."""
