"""The sandbox: plays Amazon across HTTP, so that the whole loop can be seen without an Amazon account.

Login with Amazon, the Event Gateway, the Alexa app, AWS Lambda, SNS and Dash live here; `python -m portal.sandbox`
starts it. It imports none of our rooms and no Django, and knows the portal only by its address.
"""
