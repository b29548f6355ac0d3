package nft

import (
	"encoding/hex"
	"fmt"
	"math"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
)

// hooks are the hooks' numbers (NF_INET_*, linux/netfilter.h) by name, in the kernel's order.
var hooks = [...]string{"prerouting", "input", "forward", "output", "postrouting"}

// chainAttrs appends the attributes of a new chain. All base chains accept what no rule decides.
func chainAttrs(w *writer, ch *plan.Chain) error {
	if ch.Hook == "" {
		return nil
	}
	for num, name := range hooks {
		if name == ch.Hook {
			at := w.open(unix.NFTA_CHAIN_HOOK)
			w.u32(unix.NFTA_HOOK_HOOKNUM, uint32(num))
			w.u32(unix.NFTA_HOOK_PRIORITY, uint32(ch.Priority))
			w.shut(at)
			w.u32(unix.NFTA_CHAIN_POLICY, nfAccept)
			w.str(unix.NFTA_CHAIN_TYPE, ch.Kind)
			return nil
		}
	}
	return fmt.Errorf("hook %q is unknown", ch.Hook)
}

// decodeChain reads a chain's definition; anything that pbr does not make goes to Foreign.
func decodeChain(raw []byte) plan.Chain {
	ch := plan.Chain{Name: text(attr(raw, unix.NFTA_CHAIN_NAME))}
	var foreign []string
	odd := func(format string, args ...any) { foreign = append(foreign, fmt.Sprintf(format, args...)) }
	if hook := attr(raw, unix.NFTA_CHAIN_HOOK); hook != nil {
		ch.Kind = text(attr(raw, unix.NFTA_CHAIN_TYPE))
		ch.Priority = int32(number(attr(hook, unix.NFTA_HOOK_PRIORITY)))
		num := uint32(math.MaxUint32)
		if v := attr(hook, unix.NFTA_HOOK_HOOKNUM); v != nil {
			num = number(v)
		}
		if int(num) < len(hooks) {
			ch.Hook = hooks[num]
		} else {
			ch.Hook = fmt.Sprintf("hook %d", num)
		}
		for typ, v := range attrs(hook) {
			if typ != unix.NFTA_HOOK_HOOKNUM && typ != unix.NFTA_HOOK_PRIORITY {
				odd("devices %s", hex.EncodeToString(v))
			}
		}
		if policy := number(attr(raw, unix.NFTA_CHAIN_POLICY)); policy != nfAccept {
			odd("policy %s", verdictWord(int32(policy)))
		}
	}
	if attr(raw, unix.NFTA_CHAIN_COUNTERS) != nil {
		odd("counters")
	}
	// NFT_CHAIN_BASE (1) only says that there is a hook.
	if flags := number(attr(raw, chainFlags)) &^ 1; flags != 0 {
		odd("flags %#x", flags)
	}
	if comment := udataText(attr(raw, chainUserdata), udataObjComment); comment != "" {
		odd("userdata: comment %q", comment)
	}
	ch.Foreign = joinForeign(foreign)
	return ch
}
