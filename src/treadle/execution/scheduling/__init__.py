"""What runs where and when: pure decisions, and the simulator that puts them to a virtual clock."""
