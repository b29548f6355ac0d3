package nft

import (
	"fmt"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// choose writes a number that is computed, and the verdict that a map has for it.
func (e *ruleEncoder) choose(name string, mod uint32, compute func() error) error {
	set := e.sets[name]
	if set == nil {
		return fmt.Errorf("map %q is not in the table", name)
	}
	if mod == 0 {
		return fmt.Errorf("the numbers for map %q have no modulus", name)
	}
	if err := compute(); err != nil {
		return err
	}
	if set.Interval {
		e.hton(reg1, plan.TypeNumber.Width())
	}
	e.lookup(e.kernelSet(name), false, true)
	return nil
}

// number writes a turn or a chance (NFT_NG_*).
func (e *ruleEncoder) number(typ, mod uint32) error {
	at := e.begin("numgen")
	e.u32(unix.NFTA_NG_DREG, reg1)
	e.u32(unix.NFTA_NG_MODULUS, mod)
	e.u32(unix.NFTA_NG_TYPE, typ)
	e.u32(unix.NFTA_NG_OFFSET, 0)
	e.end(at)
	return nil
}

func (e *ruleEncoder) hash(a plan.HashVMap) error {
	words, length := 0, 0
	for _, f := range a.Fields.List() {
		src, err := e.tested(f)
		if err != nil {
			return err
		}
		e.loadInto(wordRegister(reg2, words), src)
		words += f.Type().Words()
		if length = 4 * words; a.Fields[1] == 0 {
			length = f.Type().Width() // a single field is not padded
		}
	}
	if words == 0 {
		return fmt.Errorf("the hash for map %q has no field", a.Set)
	}
	at := e.begin("hash")
	e.u32(unix.NFTA_HASH_SREG, reg2)
	e.u32(unix.NFTA_HASH_DREG, reg1)
	e.u32(unix.NFTA_HASH_LEN, uint32(length))
	e.u32(unix.NFTA_HASH_MODULUS, a.Mod)
	e.u32(unix.NFTA_HASH_SEED, a.Seed)
	e.u32(unix.NFTA_HASH_TYPE, unix.NFT_HASH_JENKINS)
	e.end(at)
	return nil
}

// tested is the source of a field that an action reads. The rule's matches must test the family
// before: then the rule read back from the kernel is the same, whoever wrote the test.
func (e *ruleEncoder) tested(f plan.Field) (*source, error) {
	if f == 0 || int(f) >= len(sources) || sources[f].mask != nil || sources[f].ether || sources[f].proto != 0 {
		return nil, fmt.Errorf("field %d cannot be hashed or remembered", f)
	}
	src := &sources[f]
	if src.family != 0 && src.family != e.family {
		return nil, fmt.Errorf("field %d is read before the rule has tested the packet's family", f)
	}
	return src, nil
}

// decodeNumber reads a choice by numgen.
func (e *ruleEncoder) decodeNumber(xs []expr) (plan.Action, int) {
	mod := xs[0].u32(unix.NFTA_NG_MODULUS)
	set, n := e.decodeChosen(xs, 1)
	if xs[0].u32(unix.NFTA_NG_TYPE) == unix.NFT_NG_RANDOM {
		return plan.RandomVMap{Mod: mod, Set: set}, n
	}
	return plan.CycleVMap{Mod: mod, Set: set}, n
}

// decodeHash reads a choice by hash: its fields, the hash, the look-up.
func (e *ruleEncoder) decodeHash(xs []expr) (_ plan.Action, n int) {
	var a plan.HashVMap
	for n < len(xs) && n < len(a.Fields) && xs[n].name != "hash" {
		f, _, ok := fieldOf(&xs[n], 0)
		if !ok {
			return nil, 0
		}
		a.Fields[n] = f
		n++
	}
	if n == 0 || n == len(xs) || xs[n].name != "hash" {
		return nil, 0
	}
	a.Mod, a.Seed = xs[n].u32(unix.NFTA_HASH_MODULUS), xs[n].u32(unix.NFTA_HASH_SEED)
	a.Set, n = e.decodeChosen(xs, n+1)
	return a, n
}

// decodeChosen reads the look-up of what the first n expressions computed; its n is 0 if there is
// none.
func (e *ruleEncoder) decodeChosen(xs []expr, n int) (set string, _ int) {
	if n < len(xs) && xs[n].name == "byteorder" {
		n++
	}
	if n == len(xs) || xs[n].name != "lookup" {
		return "", 0
	}
	return e.planSet(attr(xs[n].data, unix.NFTA_LOOKUP_SET)), n + 1
}
