"""Measurements: what a job costs, beside a floor without an engine and beside other job queues."""
