"""The jobs that medseg does, one module a verb."""
