#!/bin/sh
# The merge queue by cron, on any machine that may push: copy this, set URL, and add to crontab(5):
#
#   * * * * *  /path/to/cron.sh
#
# The policy on trunk says `remote: origin`. While one call is at work, the next ones end at once.
set -eu
URL=${AGENTCTL_URL:?the address of the repository}
PLACE=${AGENTCTL_PLACE:-$HOME/merge-queue}
test -d "$PLACE/agentctl" || { python3 -m venv "$PLACE/agentctl" && "$PLACE/agentctl/bin/pip" install --quiet agentctl; }
test -d "$PLACE/clone" || git clone --quiet "$URL" "$PLACE/clone"
exec "$PLACE/agentctl/bin/agentctl" -C "$PLACE/clone" bot run --once --for 50m --junit "$PLACE/junit.xml"
