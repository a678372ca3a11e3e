#!/bin/sh
# The merge queue by cron, on any machine that may push: copy this, set URL, and add to crontab(5):
#
#   * * * * *  /path/to/cron.sh
#
# The policy on trunk says `remote: origin`. While one call is at work, the next ones end at once.
set -eu
URL=${AGENTCTL_URL:?the address of the repository}
PLACE=${AGENTCTL_PLACE:-$HOME/merge-queue}
mkdir -p "$PLACE"
(
    # Of two first calls, one sets up and the other waits for it.
    flock 9
    test -x "$PLACE/agentctl/bin/agentctl" || { python3 -m venv "$PLACE/agentctl" && "$PLACE/agentctl/bin/pip" install --quiet agentctl; }
    test -d "$PLACE/clone" || git clone --quiet "$URL" "$PLACE/clone"
) 9>"$PLACE/lock"
exec "$PLACE/agentctl/bin/agentctl" -C "$PLACE/clone" bot run --once --for 50m --junit "$PLACE/junit.xml"
