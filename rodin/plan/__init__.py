"""What a run will cost before it is started: hours, disk, network and money, on one machine or a thousand."""
