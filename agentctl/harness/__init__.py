"""The main job: a fleet and the bot, run together until every task landed or is parked."""
