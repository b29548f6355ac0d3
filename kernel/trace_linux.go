package kernel

import (
	"errors"

	"pbr/kernel/nft"
)

// StartTrace begins to trace packets, and returns what hears of them, and the table as it is.
// EndTrace ends it.
func (k *Kernel) StartTrace(f *nft.TraceFilter) (*nft.Tracer, *nft.Live, error) {
	t, err := nft.Trace()
	if err != nil {
		return nil, nil, err
	}
	live, err := k.nft.Read(nil)
	if err == nil {
		err = k.nft.StartTrace(f)
	}
	if err != nil {
		return nil, nil, errors.Join(err, t.Close())
	}
	return t, live, nil
}

// EndTrace removes the chains that StartTrace made.
func (k *Kernel) EndTrace() error { return k.nft.EndTrace() }
