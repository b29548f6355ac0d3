package render

import "pbr/compiler/plan"

// actionView is a statement by nft's name and what it needs: a chain, a field and a map to look in,
// bits under a mask, a counter's, log prefix's or flowtable's name, packets a second or a minute,
// an address; what a number is computed from; how many bits of an address count, and for how many
// seconds; the number of a queue or log group, and the xtables target that leads to it. Fields are
// those of a map that is looked up by several at once, Prefixes how many bits of each count, 0 for
// all.
type actionView struct {
	Action  string   `json:"action"`
	Chain   string   `json:"chain,omitempty"`
	Field   string   `json:"field,omitempty"`
	Map     string   `json:"map,omitempty"`
	Mask    string   `json:"mask,omitempty"`
	Value   string   `json:"value,omitempty"`
	Name    string   `json:"name,omitempty"`
	Rate    uint32   `json:"rate,omitempty"`
	Burst   uint32   `json:"burst,omitempty"`
	Address string   `json:"address,omitempty"`
	Hash    []string `json:"hash,omitempty"`

	Fields   []string `json:"fields,omitempty"`
	Prefixes []int    `json:"prefixes,omitempty"`

	Modulus uint32  `json:"modulus,omitempty"`
	Seed    *uint32 `json:"seed,omitempty"`
	Prefix  uint8   `json:"prefix,omitempty"`
	Timeout uint32  `json:"timeout,omitempty"`
	Per     string  `json:"per,omitempty"`

	Number uint32 `json:"number,omitempty"`
	Target string `json:"target,omitempty"`
}

func viewAction(a plan.Action) actionView {
	v := actionView{Action: actionName(a)}
	switch a := a.(type) {
	case plan.Jump:
		v.Chain = a.Chain
	case plan.Goto:
		v.Chain = a.Chain
	case plan.VMap:
		v.Field, v.Map, v.Prefix, v.Mask = fieldName(a.Field), a.Set, a.Prefix, markOrNone(a.Mask)
	case plan.ConcatVMap:
		v.Fields, v.Map = namesOf(a.Fields.List()), a.Set
		if a.Prefixes != (plan.PrefixList{}) {
			for i := range v.Fields {
				v.Prefixes = append(v.Prefixes, int(a.Prefixes[i]))
			}
		}
	case plan.HashVMap:
		v.Hash, v.Map, v.Modulus, v.Seed = namesOf(a.Fields.List()), a.Set, a.Mod, &a.Seed
	case plan.CycleVMap:
		v.Map, v.Modulus = a.Set, a.Mod
	case plan.RandomVMap:
		v.Map, v.Modulus = a.Set, a.Mod
	case plan.SetMark:
		v.Mask, v.Value = mark(a.Mask), mark(a.Value)
	case plan.SetCTMark:
		v.Mask, v.Value = mark(a.Mask), mark(a.Value)
	case plan.RecallCTMark:
		v.Field, v.Map, v.Prefix = fieldName(a.Field), a.Set, a.Prefix
	case plan.Remember:
		v.Field, v.Map, v.Prefix, v.Timeout, v.Mask = fieldName(a.Field), a.Set, a.Prefix, a.Timeout, markOrNone(a.Mask)
	case plan.Forget:
		v.Field, v.Map, v.Prefix, v.Mask = fieldName(a.Field), a.Set, a.Prefix, markOrNone(a.Mask)
	case plan.Count:
		v.Name = a.Counter
	case plan.Log:
		v.Name = a.Prefix
	case plan.Offload:
		v.Name = a.Flowtable
	case plan.Limit:
		v.Rate, v.Burst = a.Rate, a.Burst
		if a.Minutes {
			v.Per = "minute"
		}
	case plan.SNAT:
		v.Address = a.Addr.String()
	case plan.Queue:
		v.Number = uint32(a.Number)
	case plan.QueueTarget:
		v.Number, v.Target = uint32(a.Number), "NFQUEUE"
	case plan.LogGroup:
		v.Number = uint32(a.Group)
	}
	return v
}

// markOrNone is a mask, empty if all bits count.
func markOrNone(mask uint32) string {
	if mask == 0 {
		return ""
	}
	return mark(mask)
}

func namesOf(fields []plan.Field) (names []string) {
	for _, f := range fields {
		names = append(names, fieldName(f))
	}
	return names
}
