"""Alexa's messages, pure: dictionaries in, dictionaries out. No Django, no clock, no randomness: times and ids are arguments."""
