"""The merge-queue bot: observe, plan, perform, record."""
