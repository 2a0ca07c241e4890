"""Concurrency limits: how many requests are worked on at once, and whose turn is next. Start here to add one.

Not how much a tenant may have (quotas: saft_core/store/quotas.py), nor how often it may ask (api/rate_limit.py).
"""
