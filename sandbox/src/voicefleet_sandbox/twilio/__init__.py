"""Twilio's API: phone numbers and Elastic SIP trunks."""
