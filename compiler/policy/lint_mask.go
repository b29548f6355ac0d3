package policy

import (
	"fmt"
	"strings"
)

// foreignMasks are mark bits of other programs that people run on routers, each from its source
// or manual: the bits that it sets or compares.
var foreignMasks = []struct {
	who  string
	mask uint32
}{
	{"Tailscale (0x40000 and 0x80000 in 0xff0000)", 0x00ff0000},
	{"kube-proxy (0x4000 and 0x8000)", 0x0000c000},
	{"CNI's portmap (0x2000)", 0x00002000},
	{"Calico (0xffff0000)", 0xffff0000},
	{"Cilium (0x0f00)", 0x00000f00},
	{"Docker's encrypted overlay networks (0xd0c4e3)", 0x00d0c4e3},
	{"mwan3 (0x3f00)", 0x00003f00},
	{"wg-quick (0xca6c)", 0x0000ca6c},
}

// lintForeignMask warns of a mask that meets those of other programs. The default is not blamed
// for meeting the two that take nearly everything.
func (p *parser) lintForeignMask() {
	set := &p.doc.Settings
	if set.MarkMaskPos.Line == 0 || set.MarkMask == DefaultMarkMask {
		return
	}
	var met []string
	for _, f := range foreignMasks {
		if f.mask&set.MarkMask != 0 {
			met = append(met, f.who)
		}
	}
	if len(met) > 0 {
		p.warnf(set.MarkMaskPos, codeForeignMask, "pbr.mark-mask", fmt.Sprintf("the default %#08x meets only Calico",
			uint32(DefaultMarkMask)),
			"mark-mask %#08x shares bits with %s: if one runs here, both break", set.MarkMask, strings.Join(met, ", "))
	}
}
