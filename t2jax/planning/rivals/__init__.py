"""Whom a plan is compared with: rules of thumb, named models, what lies within the data."""
