package kernel

import "pbr/kernel/own"

// OwnKeeper returns what keeps the sets of own addresses; it is to be run, and called before
// Notices, which does not tell of what it does.
func (k *Kernel) OwnKeeper() (*own.Keeper, error) {
	keeper, err := own.New(k.nft.Ledger)
	if err == nil {
		k.beside = append(k.beside, keeper.Conn())
	}
	return keeper, err
}
