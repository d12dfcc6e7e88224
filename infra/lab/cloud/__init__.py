"""The lab's cloud: an EC2-compatible endpoint on this machine, and the program run against it."""
