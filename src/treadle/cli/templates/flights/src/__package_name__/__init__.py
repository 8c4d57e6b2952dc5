"""Which flights leave New York late, when, and how well can one tell in advance?"""
