"""Put what arrives into the ring."""
