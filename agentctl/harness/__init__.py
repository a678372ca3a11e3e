"""The main loop: a fleet and the bot, run together until every task has landed or is parked."""
