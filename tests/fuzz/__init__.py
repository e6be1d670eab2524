"""What strangers send, spoiled at random: nothing but the documented errors may come of it."""
