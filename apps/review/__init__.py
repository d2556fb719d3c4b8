"""The review app: a server that shows studies, takes corrections and keeps decisions."""
