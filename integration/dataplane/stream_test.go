package dataplane

// stream is a kind of packets whose cost is measured.
type stream struct {
	name string
	// down streams come from an uplink, others from the LAN.
	down bool
	// matched streams are picked by the selectors, and so leave through wan2 where the router
	// steers.
	matched bool
	// fresh streams have a new connection in every packet; others are of flows that both sides have
	// sent packets of.
	fresh bool
}

var streams = []stream{
	{name: "upload"},
	{name: "download", down: true},
	{name: "upload by policy", matched: true},
	{name: "download by policy", down: true, matched: true},
	{name: "new", fresh: true},
	{name: "new by policy", matched: true, fresh: true},
}

// How many flows the streams have, powers of two.
const (
	establishedFlows = 512
	freshFlows       = 8192
)

// source is a stream as it is put into a router.
type source struct {
	stream
	family family
	// n is how many selectors there are, in the device.
	n, in int
	// direct is for a router that does not translate: answers come for the client itself.
	direct bool
	// floor is for what the measurement costs without a router: the frames are for somebody else.
	floor bool
}

// flows returns the source's flows, as the client sends them. Those of matched streams are spread
// over all selectors.
func (k source) flows(all []selector) []flow {
	n := establishedFlows
	if k.fresh {
		n = freshFlows
	}
	list := make([]flow, n)
	for i := range list {
		if k.matched {
			list[i] = all[spread(i, len(all))].matching(k.family, i)
		} else {
			list[i] = stranger(k.family, i)
		}
		// the two kinds of established flows must not meet behind the same translated port
		if k.matched && !k.fresh {
			list[i].sport += establishedFlows
		}
	}
	return list
}

// spread sends 0, 1, 2, ... to numbers below n that are as far apart as can be, so that few flows
// already reach all groups of selectors.
func spread(i, n int) int {
	const golden = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
	return int(uint64(i) * golden >> 33 % uint64(n))
}

// frames returns what is put into the device, in turn.
func (k source) frames(all []selector) [][paddedLen]byte {
	to := routerMAC
	if k.floor {
		to = nobodysMAC
	}
	var list [][paddedLen]byte
	for _, fl := range k.flows(all) {
		switch {
		case k.down && k.direct:
			fl = fl.answer(fl.src)
		case k.down:
			fl = fl.answer(wanAddr(k.in, k.family))
		}
		list = append(list, fl.frame(to))
	}
	return list
}
