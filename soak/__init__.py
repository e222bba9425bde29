"""Half an hour of calls over connections that break at random: nothing is lost, nothing grows."""
