package kernel

import (
	"errors"

	"pbr/kernel/nft"
)

// StartTrace starts to trace packets. It returns the tracer, and the table as it is. EndTrace ends
// the trace.
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

// EndTrace removes the chains that StartTrace created.
func (k *Kernel) EndTrace() error { return k.nft.EndTrace() }
