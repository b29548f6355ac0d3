package nft

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/netevents"
)

// traceChains are as they are made: behind the reassembly of fragments (-400), ahead of everything
// else.
var traceChains = []plan.Chain{
	{Name: TraceChain, Kind: "filter", Hook: "prerouting", Priority: -399},
	{Name: TraceLocalChain, Kind: "filter", Hook: "output", Priority: -399},
}

var traceOut = plan.Chain{Name: traceOutChain, Kind: "filter", Hook: "postrouting", Priority: -399}

// StartTrace makes the chains that mark packets for tracing, for the calling process. Chains that a
// dead process left are replaced.
func (c *Conn) StartTrace(f *TraceFilter) error {
	owner := TraceOwner{PID: os.Getpid(), Start: startTime(os.Getpid())}
	for range deleteTries {
		err := c.startTrace(f, owner)
		if !errors.Is(err, ErrChanged) {
			return err
		}
	}
	return fmt.Errorf("adding the chain %s: %w", TraceChain, ErrChanged)
}

func (c *Conn) startTrace(f *TraceFilter, owner TraceOwner) error {
	generation, err := c.Generation()
	if err != nil {
		return err
	}
	if there, err := c.tableExists(); err != nil || !there {
		return errors.Join(err, ErrNoTable)
	}
	old, err := c.tracing()
	if err != nil {
		return err
	}
	for _, o := range old {
		if o.alive() {
			return fmt.Errorf("another pbr trace is running: process %d", o.PID)
		}
	}
	b := newBatch(generation)
	b.removeTrace(old)
	for i := range traceChains {
		rules := f.Arriving
		if traceChains[i].Name == TraceLocalChain {
			rules = f.Local
		}
		if len(rules) == 0 {
			continue
		}
		if err := b.addTrace(&traceChains[i], rules, f.Rate, owner); err != nil {
			return err
		}
	}
	if err := b.addTraceOut(owner); err != nil {
		return err
	}
	_, err = c.commit(b)
	return err
}

// addTraceOut adds the chain of what leaves. Its rule does nothing but say whose it is.
func (b *batch) addTraceOut(owner TraceOwner) error {
	var e ruleEncoder
	err := e.encodeExprs(&plan.ChainRule{Actions: []plan.Action{plan.Accept{}}})
	if err == nil {
		err = b.addTraceChain(&traceOut)
	}
	if err == nil {
		b.addTraceRule(traceOutChain, 1, e.b, owner)
	}
	return err
}

// addTrace adds a chain with its rules.
func (b *batch) addTrace(ch *plan.Chain, rules [][]plan.Match, rate uint32, owner TraceOwner) error {
	if err := b.addTraceChain(ch); err != nil {
		return err
	}
	for i, matches := range rules {
		var e ruleEncoder
		err := e.encodeExprs(&plan.ChainRule{Matches: matches, Actions: []plan.Action{plan.Limit{Rate: rate, Burst: rate}}})
		if err != nil {
			return err
		}
		e.immediateValue([]byte{1})
		e.metaSet(unix.NFT_META_NFTRACE)
		b.addTraceRule(ch.Name, i+1, e.b, owner)
	}
	return nil
}

func (b *batch) addTraceRule(chain string, number int, exprs []byte, owner TraceOwner) {
	b.ruleMessage(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, operation{verb: "adding", name: chain, rule: number})
	b.bytes(unix.NFTA_RULE_EXPRESSIONS, exprs)
	b.bytes(unix.NFTA_RULE_USERDATA, appendComment(nil, udataRuleComment, owner.comment()))
	b.setLength()
}

func (b *batch) addTraceChain(ch *plan.Chain) error {
	b.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE|unix.NLM_F_EXCL, operation{verb: "adding", object: "chain", name: ch.Name})
	b.str(unix.NFTA_CHAIN_TABLE, plan.TableName)
	b.str(unix.NFTA_CHAIN_NAME, ch.Name)
	if err := chainAttrs(&b.writer, ch); err != nil {
		return err
	}
	b.setLength()
	return nil
}

func (b *batch) removeTrace(owners map[string]TraceOwner) {
	for name := range owners {
		b.flushChain(name)
		b.deleteNamed(unix.NFT_MSG_DELCHAIN, "chain", unix.NFTA_CHAIN_NAME, name, true)
	}
}

// EndTrace removes the chains of the calling process.
func (c *Conn) EndTrace() error {
	for range deleteTries {
		generation, err := c.Generation()
		if err != nil {
			return err
		}
		owners, err := c.tracing()
		if err != nil {
			return err
		}
		for name, o := range owners {
			if o.PID != os.Getpid() {
				delete(owners, name)
			}
		}
		if len(owners) == 0 {
			return nil
		}
		b := newBatch(generation)
		b.removeTrace(owners)
		if _, err := c.commit(b); !errors.Is(err, ErrChanged) {
			return err
		}
	}
	return fmt.Errorf("removing the chain %s: %w", TraceChain, ErrChanged)
}

// tracing returns the owners of the trace chains that are there, by chain. What somebody else put
// there has none, and no process.
func (c *Conn) tracing() (map[string]TraceOwner, error) {
	owners := map[string]TraceOwner{}
	err := c.dump(unix.NFT_MSG_GETCHAIN, familyInet, inTable(), func(raw []byte) error {
		if name := text(attr(raw, unix.NFTA_CHAIN_NAME)); text(attr(raw, unix.NFTA_CHAIN_TABLE)) == plan.TableName && isTraceChain(name) {
			owners[name] = TraceOwner{}
		}
		return nil
	})
	if err != nil || len(owners) == 0 {
		return owners, err
	}
	return owners, c.dump(unix.NFT_MSG_GETRULE, familyInet, inTable(), func(raw []byte) error {
		name := text(attr(raw, unix.NFTA_RULE_CHAIN))
		if text(attr(raw, unix.NFTA_RULE_TABLE)) != plan.TableName || !isTraceChain(name) {
			return nil
		}
		if o, ok := readTraceOwner(udataText(attr(raw, unix.NFTA_RULE_USERDATA), udataRuleComment)); ok {
			owners[name] = o
		}
		return nil
	})
}

// alive reports whether the process still runs.
func (o TraceOwner) alive() bool { return o.PID > 0 && o.Start != "" && startTime(o.PID) == o.Start }

// startTime is a process' starttime in proc_pid_stat(5), empty if there is none. The second field,
// in brackets, may have spaces.
func startTime(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	fields := strings.Fields(rest)
	const startField = 22 - 3 // the first of rest is field 3
	if len(fields) <= startField {
		return ""
	}
	return fields[startField]
}

// hideTrace omits of what was read the trace chains whose process runs: they are no drift, and
// nobody's to remove. What was read then says nothing of the time after that process.
func (r *reader) hideTrace() {
	rs := &r.live.Ruleset
	for i := len(rs.Chains) - 1; i >= 0; i-- {
		if owner, is := r.traces[rs.Chains[i].Name]; is && owner.alive() {
			rs.Chains = append(rs.Chains[:i], rs.Chains[i+1:]...)
			r.live.handles = append(r.live.handles[:i], r.live.handles[i+1:]...)
			r.live.Traced, r.live.identity = true, ""
		}
	}
}

// noteTrace remembers whose a trace chain's rule is.
func (r *reader) noteTrace(chain string, userdata []byte) {
	if !isTraceChain(chain) {
		return
	}
	if o, ok := readTraceOwner(udataText(userdata, udataRuleComment)); ok {
		if r.traces == nil {
			r.traces = map[string]TraceOwner{}
		}
		r.traces[chain] = o
	}
}

// Tracer hears of traced packets.
type Tracer struct{ events *netevents.Listener }

// groupTrace is NFNLGRP_NFTRACE (linux/netfilter/nfnetlink.h).
const groupTrace = 9

// Trace begins to listen, in the calling thread's network namespace.
func Trace() (*Tracer, error) {
	l, err := netevents.Listen(unix.NETLINK_NETFILTER, nil, groupTrace)
	if err != nil {
		return nil, fmt.Errorf("listening to traced packets: %w", err)
	}
	return &Tracer{l}, nil
}

// Close makes Next return os.ErrClosed.
func (t *Tracer) Close() error { return t.events.Close() }

// Next waits for steps of packets. Lost ones are no error.
func (t *Tracer) Next() ([]TraceEvent, error) {
	msgs, err := t.events.Receive()
	if err != nil {
		if errors.Is(err, netevents.ErrOverrun) {
			return nil, nil
		}
		return nil, err
	}
	var out []TraceEvent
	for _, m := range msgs {
		if uint16(m.Header.Type) == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_TRACE && len(m.Data) >= nfgenLen {
			out = append(out, decodeTrace(m.Data[0], m.Data[nfgenLen:]))
		}
	}
	return out, nil
}

func decodeTrace(family uint8, raw []byte) TraceEvent {
	code := attr(attr(raw, unix.NFTA_TRACE_VERDICT), unix.NFTA_VERDICT_CODE)
	if TraceType(number(attr(raw, unix.NFTA_TRACE_TYPE))) == TracePolicy {
		code = attr(raw, unix.NFTA_TRACE_POLICY)
	}
	return TraceEvent{
		ID: number(attr(raw, unix.NFTA_TRACE_ID)), Family: family,
		Table: text(attr(raw, unix.NFTA_TRACE_TABLE)), Chain: text(attr(raw, unix.NFTA_TRACE_CHAIN)),
		Type: TraceType(number(attr(raw, unix.NFTA_TRACE_TYPE))), Handle: number64(attr(raw, unix.NFTA_TRACE_RULE_HANDLE)),
		Dropped: len(code) == 4 && number(code) == nfDrop,
		IIF:     int(number(attr(raw, unix.NFTA_TRACE_IIF))), OIF: int(number(attr(raw, unix.NFTA_TRACE_OIF))),
		Mark:    number(attr(raw, unix.NFTA_TRACE_MARK)),
		Network: attr(raw, unix.NFTA_TRACE_NETWORK_HEADER), Transport: attr(raw, unix.NFTA_TRACE_TRANSPORT_HEADER),
	}
}
