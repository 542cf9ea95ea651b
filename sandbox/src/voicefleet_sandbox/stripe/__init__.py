"""Stripe's API, as far as a subscription business needs it, with Stripe's own semantics."""
