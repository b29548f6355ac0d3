package kernel

import "pbr/kernel/facts"

// Clients counts the clients that a map of the table remembers, by their mark.
func (k *Kernel) Clients(set string) (map[uint32]int, error) { return k.nft.Clients(set) }

// Packets returns the packet counts of the table's named counters.
func (k *Kernel) Packets() (map[string]uint64, error) { return k.nft.Packets() }

// Remembered lists the clients that a map of the table remembers.
func (k *Kernel) Remembered(set string) ([]facts.Client, error) { return k.nft.Remembered(set) }
