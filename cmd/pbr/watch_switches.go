package main

import (
	"slices"

	"pbr/cmd/pbr/daemon"
	"pbr/compiler/explain"
	"pbr/kernel"
	"pbr/kernel/conntrack"
)

// flushSwitched deletes the connections that policies decide otherwise since their windows began or
// ended, and returns how many.
func (p *policies) flushSwitched(s *daemon.Switches) (n int, err error) {
	text := p.text(s.Doc)
	if text == nil {
		text = p.current()
	}
	err = withOwnKernel(func(k *kernel.Kernel) error {
		x, err := quiet().liveExplainer(&policyFile{display: text.Name, text: text, doc: s.Doc}, k)
		if err != nil {
			return err
		}
		flows, err := k.Flows()
		if err != nil {
			return err
		}
		j := switchJudge{list: s.List, before: x.At(s.Before), now: x.At(s.Now)}
		flows = slices.DeleteFunc(flows, func(f conntrack.Flow) bool {
			if !f.Orig.Src.IsValid() || !f.Reply.Dst.IsValid() {
				return true
			}
			c := connectionOf(&f)
			return !j.ends(&c)
		})
		n, err = k.RemoveFlows(flows)
		return err
	})
	return n, err
}

// switchJudge decides which connections end at switches of schedules.
type switchJudge struct {
	list        []daemon.Switch
	before, now *explain.Explainer
}

// ends reports whether a connection ends: a policy that catches it since its window began, or that
// caught it until its window ended, and a new connection would not get the same way.
func (j *switchJudge) ends(c *explain.Connection) bool {
	now := j.now.Carried(c)
	if !now.Differs && !now.Refused {
		return false
	}
	if j.named(now.By, true) {
		return true
	}
	return slices.ContainsFunc(j.list, func(s daemon.Switch) bool { return !s.Start }) && j.named(j.before.Carried(c).By, false)
}

// named reports whether a policy that decides is one whose window began, or ended.
func (j *switchJudge) named(by explain.By, start bool) bool {
	return by.Kind == explain.ByPolicy && slices.Contains(j.list, daemon.Switch{Policy: by.Name, Start: start})
}

// connectionOf is a connection as explain knows it.
func connectionOf(f *conntrack.Flow) explain.Connection {
	o := &f.Orig
	return explain.Connection{
		Src: o.Src, Dst: o.Dst, ReplySrc: f.Reply.Src, ReplyDst: f.Reply.Dst,
		Proto: o.Proto, SPort: o.SPort, DPort: o.DPort, ICMPType: o.ICMPType, EchoID: f.EchoID,
		HasPorts: o.HasPorts, Mark: f.Mark,
	}
}
