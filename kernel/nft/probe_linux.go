package nft

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// probeTable is made by transactions that are never completed.
const probeTable = "pbr-probe"

// Offload is what the kernel can forward past its chains.
type Offload struct {
	// Flowtables means that there are flowtables at all.
	Flowtables bool
	// Hardware tells, for the devices asked about, which forward by themselves.
	Hardware map[string]bool
}

// ProbeOffload finds out whether the kernel has flowtables, and which devices can offload in
// hardware, by a transaction that the kernel refuses at its end: it leaves nothing behind, no event
// and no new generation, except for modules that are loaded now. The error is one of privilege, or
// of the socket.
func (c *Conn) ProbeOffload(hardware []string) (Offload, error) {
	b := probe(hardware)
	refused, err := c.refusals(b)
	if err != nil {
		return Offload{}, err
	}
	end := uint32(len(b.ops))
	if refused[end] == nil {
		// Refused as a whole, or, against all that is known of the kernel, done.
		return Offload{}, fmt.Errorf("asking for flowtables: %w", cmp.Or(refused[0], c.dropProbe(), errNoAnswer))
	}
	out := Offload{Flowtables: refused[flowtableAt] == nil && refused[ruleAt] == nil, Hardware: map[string]bool{}}
	for i, dev := range hardware {
		err := refused[ruleAt+1+uint32(i)]
		// One that is busy already does it.
		out.Hardware[dev] = out.Flowtables && (err == nil || err == unix.EBUSY)
	}
	return out, nil
}

// The messages of a probe, by their numbers.
const (
	flowtableAt = 2
	ruleAt      = 4
)

// probe writes the transaction: a flowtable without devices and a rule that leads to it, one
// flowtable for each device, and the deletion of a chain that is not there.
func probe(hardware []string) *batch {
	b := newProbeBatch()
	b.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, operation{})
	b.str(unix.NFTA_TABLE_NAME, probeTable)
	b.setLength()
	flowtable := func(f *plan.Flowtable) {
		b.message(unix.NFT_MSG_NEWFLOWTABLE, unix.NLM_F_CREATE, operation{})
		flowtableAttrs(&b.writer, probeTable, f, f.Devices)
		b.setLength()
	}
	flowtable(&plan.Flowtable{Name: "probe"})
	b.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, operation{})
	b.str(unix.NFTA_CHAIN_TABLE, probeTable)
	b.str(unix.NFTA_CHAIN_NAME, "probe")
	b.setLength()
	b.message(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, operation{})
	b.str(unix.NFTA_RULE_TABLE, probeTable)
	b.str(unix.NFTA_RULE_CHAIN, "probe")
	var rule ruleEncoder
	_ = rule.action(plan.Offload{Flowtable: "probe"}) // has nothing that could be wrong
	b.bytes(unix.NFTA_RULE_EXPRESSIONS, rule.b)
	b.setLength()
	for i, dev := range hardware {
		flowtable(&plan.Flowtable{Name: fmt.Sprint("hardware-", i), Devices: []string{dev}, Hardware: true})
	}
	b.message(unix.NFT_MSG_DELCHAIN, 0, operation{})
	b.str(unix.NFTA_CHAIN_TABLE, probeTable)
	b.str(unix.NFTA_CHAIN_NAME, strings.Repeat("-", 8))
	b.setLength()
	b.finish()
	return b
}

// newProbeBatch starts a transaction whatever the generation is.
func newProbeBatch() *batch {
	b := &batch{}
	b.b = appendHeader(b.b, unix.NFNL_MSG_BATCH_BEGIN, unix.NLM_F_REQUEST, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)
	return b
}

// refusals sends a probe and returns what the kernel refused of it, by message.
func (c *Conn) refusals(b *batch) (map[uint32]error, error) {
	refused := map[uint32]error{}
	err := c.exchange(b, func(m message) error {
		if m.typ == unix.NLMSG_ERROR && m.errno() != nil && refused[m.seq] == nil {
			refused[m.seq] = m.errno()
		}
		return nil
	})
	return refused, err
}

// dropProbe deletes the probe's table, should there be one.
func (c *Conn) dropProbe() error {
	b := newProbeBatch()
	b.message(unix.NFT_MSG_DELTABLE, 0, operation{verb: "deleting", object: "table inet", name: probeTable})
	b.str(unix.NFTA_TABLE_NAME, probeTable)
	b.setLength()
	if _, err := c.commit(b); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}
