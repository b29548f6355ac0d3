package plan

import "net/netip"

// Action is one statement of a rule: one of this file's types. All of them are comparable, and
// equal values are the same statement to the kernel. Another one takes three places: its type here,
// its text (render/action.go) and its encoding (kernel/nft/action_linux.go); and, so that it can be
// evaluated, its meaning (compiler/walk).
type Action interface {
	// uses returns what Uses does. It makes this package's types the only actions.
	uses() Object
}

type (
	// Accept is "accept".
	Accept struct{}
	// Drop is "drop".
	Drop struct{}
	// Jump is "jump Chain".
	Jump struct{ Chain string }
	// Goto is "goto Chain".
	Goto struct{ Chain string }

	// VMap is "Field & Mask vmap @Set"; for an address "Field/Prefix vmap @Set", where Prefix is
	// how many leading bits count, 0 for all of them.
	VMap struct {
		Field  Field
		Mask   uint32
		Prefix uint8
		Set    string
	}
	// ConcatVMap is "Fields[0]/Prefixes[0] . Fields[1]/Prefixes[1] ... vmap @Set": a VMap whose
	// keys have several fields.
	ConcatVMap struct {
		Fields   FieldList
		Prefixes PrefixList
		Set      string
	}
	// HashVMap is "jhash Fields mod Mod seed Seed vmap @Set".
	HashVMap struct {
		Fields    FieldList
		Mod, Seed uint32
		Set       string
	}
	// CycleVMap is "numgen inc mod Mod vmap @Set".
	CycleVMap struct {
		Mod uint32
		Set string
	}
	// RandomVMap is "numgen random mod Mod vmap @Set".
	RandomVMap struct {
		Mod uint32
		Set string
	}

	// SetMark is "meta mark set meta mark & ^Mask | Value".
	SetMark struct{ Mask, Value uint32 }
	// SetCTMark is "ct mark set ct mark & ^Mask | Value".
	SetCTMark struct{ Mask, Value uint32 }

	// RecallCTMark is "ct mark set Field/Prefix map @Set". The rule ends here if there is no such
	// element.
	RecallCTMark struct {
		Field  Field
		Prefix uint8
		Set    string
	}
	// Remember is "update @Set { Field/Prefix timeout Timeout : meta mark & Mask }", Timeout in
	// seconds. The rule ends here if the map is full.
	Remember struct {
		Field         Field
		Prefix        uint8
		Mask, Timeout uint32
		Set           string
	}
	// Forget is "delete @Set { Field/Prefix : meta mark & Mask }".
	Forget struct {
		Field  Field
		Prefix uint8
		Mask   uint32
		Set    string
	}

	// Count is "counter name Counter".
	Count struct{ Counter string }
	// Log is "log prefix Prefix".
	Log struct{ Prefix string }
	// Limit is "limit rate Rate/second burst Burst packets", with Minutes "Rate/minute".
	Limit struct {
		Rate, Burst uint32
		Minutes     bool
	}

	// Masquerade is "masquerade".
	Masquerade struct{}
	// SNAT is "snat ip to Addr", or "snat ip6 to Addr".
	SNAT struct{ Addr netip.Addr }

	// Offload is "flow add @Flowtable": the rest of the connection passes no chain. The rule ends
	// here if the kernel cannot do that.
	Offload struct{ Flowtable string }
	// Queue is "queue flags bypass to Number": the packet goes to the program that listens there,
	// or on if there is none. The rest of the chain is skipped.
	Queue struct{ Number uint16 }
	// QueueTarget is a Queue by the NFQUEUE target of xtables, for kernels without the expression.
	// nft lists it as "queue", too.
	QueueTarget struct{ Number uint16 }
	// LogGroup is "log group Group": a copy goes to the program that listens there.
	LogGroup struct{ Group uint16 }
)

// FieldList is up to five fields in their order; 0 for no more.
type FieldList [5]Field

// List returns the fields that there are.
func (l *FieldList) List() []Field {
	n := 0
	for n < len(l) && l[n] != 0 {
		n++
	}
	return l[:n]
}

// PrefixList is, for each field of a FieldList, how many leading bits of the address count; 0 for
// all of them.
type PrefixList [len(FieldList{})]uint8

// ActionTypes returns the zero value of every type of Action.
func ActionTypes() []Action {
	return []Action{
		Accept{}, Drop{}, Jump{}, Goto{}, VMap{}, ConcatVMap{}, HashVMap{}, CycleVMap{}, RandomVMap{}, SetMark{}, SetCTMark{},
		RecallCTMark{}, Remember{}, Forget{}, Count{}, Log{}, Limit{}, Masquerade{}, SNAT{}, Offload{}, Queue{}, QueueTarget{}, LogGroup{},
	}
}

// ObjectKind is nft's word for a kind of object, "map" being a "set".
type ObjectKind string

// The kinds of objects that rules use.
const (
	ObjectChain     ObjectKind = "chain"
	ObjectSet       ObjectKind = "set"
	ObjectCounter   ObjectKind = "counter"
	ObjectFlowtable ObjectKind = "flowtable"
)

// Object is the name of something in the table.
type Object struct {
	Kind ObjectKind
	Name string
}

// Uses returns the object that has to be there before a rule can have the action; the zero Object
// if there is none.
func Uses(a Action) Object { return a.uses() }

func (Accept) uses() Object         { return Object{} }
func (Drop) uses() Object           { return Object{} }
func (a Jump) uses() Object         { return Object{ObjectChain, a.Chain} }
func (a Goto) uses() Object         { return Object{ObjectChain, a.Chain} }
func (a VMap) uses() Object         { return Object{ObjectSet, a.Set} }
func (a ConcatVMap) uses() Object   { return Object{ObjectSet, a.Set} }
func (a HashVMap) uses() Object     { return Object{ObjectSet, a.Set} }
func (a CycleVMap) uses() Object    { return Object{ObjectSet, a.Set} }
func (a RandomVMap) uses() Object   { return Object{ObjectSet, a.Set} }
func (SetMark) uses() Object        { return Object{} }
func (SetCTMark) uses() Object      { return Object{} }
func (a RecallCTMark) uses() Object { return Object{ObjectSet, a.Set} }
func (a Remember) uses() Object     { return Object{ObjectSet, a.Set} }
func (a Forget) uses() Object       { return Object{ObjectSet, a.Set} }
func (a Count) uses() Object        { return Object{ObjectCounter, a.Counter} }
func (Log) uses() Object            { return Object{} }
func (Limit) uses() Object          { return Object{} }
func (Masquerade) uses() Object     { return Object{} }
func (SNAT) uses() Object           { return Object{} }
func (a Offload) uses() Object      { return Object{ObjectFlowtable, a.Flowtable} }
func (Queue) uses() Object          { return Object{} }
func (QueueTarget) uses() Object    { return Object{} }
func (LogGroup) uses() Object       { return Object{} }
