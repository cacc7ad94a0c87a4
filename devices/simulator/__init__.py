"""A fleet of simulated units: real clients of the public API or of MQTT, which know the portal by its address only.

Imports nothing of the portal and no Django, so what it finds out it found out over the wire. The command is
``manage.py simulate``; what the portal made of what was said is compared in devices/comparison.py.
"""
