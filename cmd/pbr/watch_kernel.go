package main

import (
	"context"

	"pbr/compiler/plan"
	"pbr/healthcheck/watch"
	"pbr/kernel"
)

// watchKernel is the kernel as a watch sees it.
type watchKernel struct{ *kernel.Kernel }

func (k watchKernel) Apply(ctx context.Context, want *plan.Plan) (watch.Outcome, error) {
	return outcome(k.Kernel.Apply(ctx, want))
}

func (k watchKernel) Update(ctx context.Context, want *plan.Plan) (watch.Outcome, error) {
	return outcome(k.Kernel.Update(ctx, want))
}

func outcome(r *kernel.Report, err error) (watch.Outcome, error) {
	if err != nil {
		return watch.Outcome{}, err
	}
	return watch.Outcome{Changed: changedLines(r), Warnings: r.Warnings}, nil
}

func (k watchKernel) Cut(cuts []watch.Cut) (int, error) {
	var list []kernel.Cut
	for _, c := range cuts {
		for _, m := range c.Marks {
			list = append(list, kernel.Cut{Family: c.Family, Mark: m, Mask: c.Mask})
		}
		if len(c.Addrs) > 0 {
			list = append(list, kernel.Cut{Family: c.Family, Mask: c.Mask, Addrs: c.Addrs})
		}
	}
	return k.Kernel.Cut(list)
}

func (k watchKernel) Pin(pins []watch.Pin) (int, error) {
	var list []kernel.Pin
	for _, p := range pins {
		list = append(list, kernel.Pin(p))
	}
	return k.Kernel.Pin(list)
}

var noticeKinds = map[kernel.NoticeKind]watch.NoticeKind{
	kernel.NoticeMachine: watch.MachineChanged, kernel.NoticeDrift: watch.Drift, kernel.NoticeOverrun: watch.Overrun,
}

// convertNotices hands notices on until they, or ctx, end.
func convertNotices(ctx context.Context, in <-chan kernel.Notice) <-chan watch.Notice {
	out := make(chan watch.Notice)
	go func() {
		defer close(out)
		for n := range in {
			select {
			case out <- watch.Notice{Kind: noticeKinds[n.Kind], What: n.What, Who: n.Who}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
