package own

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/kernel/netevents"
	"pbr/kernel/nft"
	"pbr/kernel/route"
)

const (
	// Life is how long the sets count as whole after the last sign of it: how long first packets
	// are asked for addresses that somebody may have kept from this process, if it hangs or was
	// killed.
	Life = 15 * time.Second
	// beat is the time between two signs. Each is a change of nftables, by which others' listings
	// of large sets start over.
	beat = 5 * time.Second
	// beatsUnheard is how many signs may be renewed before routes are listed though the kernel told
	// of no change of them.
	beatsUnheard = 6
	// again is how long to wait after an error.
	again = time.Second
)

// Keeper keeps the sets. Its methods are safe for concurrent use; Run is called once.
type Keeper struct {
	conn   *nft.Conn
	routes *route.Conn
	events *netevents.Listener
	// Failed is told of what goes wrong, each kind of it once until it goes well again.
	Failed func(error)

	resting atomic.Bool
	kick    chan struct{}

	// changed means that routes changed, or may have, since they were listed.
	changed atomic.Bool
	// own are the router's own addresses, of the versions that have them listed; nil if that is not
	// known. listed is for how many signs they have been.
	own    map[plan.Family][]netip.Addr
	listed int
	// sets are what the sets have; nil if that is not known.
	sets map[plan.Family][]nft.Member
	// shown are the versions of which the sets were last shown to be whole, at the time shownAt.
	shown   []plan.Family
	shownAt time.Time
	failed  string
}

// New returns a Keeper. It has to be called in the network namespace that it works in; ledger is
// the one of those who read the table.
func New(ledger *nft.Ledger) (*Keeper, error) {
	k := &Keeper{Failed: func(error) {}, kick: make(chan struct{}, 1)}
	var err error
	if k.conn, err = nft.Open(); err != nil {
		return nil, err
	}
	k.conn.Ledger = ledger
	if k.routes, err = route.Open(); err != nil {
		return nil, errors.Join(err, k.conn.Close())
	}
	if k.events, err = route.WatchOwn(); err != nil {
		return nil, errors.Join(err, k.conn.Close(), k.routes.Close())
	}
	return k, nil
}

// Conn is the connection that sets are changed by.
func (k *Keeper) Conn() *nft.Conn { return k.conn }

// Rest says, of the policy in force, whether the sets are to be left alone, so that the kernel is
// asked of each first packet.
func (k *Keeper) Rest(rest bool) {
	k.resting.Store(rest)
	k.wake() // the table may have been made just now
}

func (k *Keeper) wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// Run keeps the sets until ctx ends. Then it takes back that they are whole.
func (k *Keeper) Run(ctx context.Context) {
	heard := make(chan struct{})
	go func() { defer close(heard); k.listen(ctx) }()
	context.AfterFunc(ctx, func() { _ = k.events.Close() })
	tick := time.NewTicker(beat)
	defer tick.Stop()
	k.wake()
	for ctx.Err() == nil {
		select {
		case <-k.kick:
			k.keep(false)
		case <-tick.C:
			k.sets = nil // what others did to them is put right
			k.keep(true)
		case <-ctx.Done():
		}
	}
	<-heard
	k.takeBack()
	_ = errors.Join(k.conn.Close(), k.routes.Close())
}

// listen wakes the keeper for each change.
func (k *Keeper) listen(ctx context.Context) {
	for ctx.Err() == nil {
		_, err := k.events.Receive()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		k.changed.Store(true) // after an overrun, too
		k.wake()
		if err != nil && !errors.Is(err, netevents.ErrOverrun) {
			select {
			case <-time.After(beat):
			case <-ctx.Done():
			}
		}
	}
}

// keep makes the sets what they have to be, and shows that they are; if that is shown already it is
// renewed if asked for. Without the table there is nothing to do.
func (k *Keeper) keep(renew bool) {
	err := k.tryKeep(renew)
	if errors.Is(err, unix.ENOENT) {
		// Not what was thought to be there; or the table was recreated.
		k.sets, k.shown = nil, nil
		err = k.tryKeep(renew)
	}
	if errors.Is(err, unix.ENOENT) {
		k.sets, k.shown, err = nil, nil, nil
	}
	if err != nil {
		k.sets, k.own = nil, nil
		k.takeBack()
		time.AfterFunc(again, k.wake)
	}
	k.report(err)
}

// report tells of an error once.
func (k *Keeper) report(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != k.failed && err != nil {
		k.Failed(err)
	}
	k.failed = text
}

// tryKeep is keep, once.
func (k *Keeper) tryKeep(renew bool) error {
	if k.resting.Load() {
		k.takeBack()
		return nil
	}
	var whole []plan.Family
	var edits []nft.Edit
	if k.sets == nil {
		if err := k.read(); err != nil {
			return err
		}
	}
	if err := k.list(); err != nil {
		return err
	}
	for _, family := range plan.Families {
		want, ok := k.own[family]
		if !ok {
			continue
		}
		whole = append(whole, family)
		if e := edit(family, k.sets[family], want); len(e.Remove)+len(e.Add) > 0 {
			edits = append(edits, e)
		}
		k.sets[family] = members(want)
	}
	if len(edits) > 0 {
		if err := k.conn.EditSets(edits); err != nil {
			return err
		}
	}
	return k.show(whole, renew)
}

// list lists the router's own addresses, if they may have changed.
func (k *Keeper) list() error {
	k.listed++
	if changed := k.changed.Swap(false); k.own != nil && !changed && k.listed < beatsUnheard {
		return nil
	}
	k.own, k.listed = nil, 0
	own := map[plan.Family][]netip.Addr{}
	for _, family := range plan.Families {
		list, ok, err := k.routes.OwnAddresses(family)
		if err != nil {
			return err
		}
		if ok {
			own[family] = list
		}
	}
	k.own = own
	return nil
}

// show shows of which versions the sets are whole, if that is news or to be renewed.
func (k *Keeper) show(whole []plan.Family, renew bool) error {
	if slices.Equal(k.shown, whole) && !renew {
		return nil
	}
	was := k.shown
	if time.Since(k.shownAt) > Life-beat { // may have ended
		was = nil
	}
	if was == nil { // a watch that was killed may have left signs, with an end of their own
		k.shown = plan.Families[:]
		k.takeBack()
	}
	if err := k.conn.ShowOwn(was, whole, Life); err != nil {
		return err
	}
	k.shown, k.shownAt = whole, time.Now()
	return nil
}

// read looks into the sets.
func (k *Keeper) read() error {
	sets := map[plan.Family][]nft.Member{}
	for _, family := range plan.Families {
		var err error
		if sets[family], err = k.conn.Members(set(family)); err != nil {
			return err
		}
	}
	k.sets = sets
	return nil
}

// edit is what leaves a set with these addresses, all of them for good. The kernel keeps the time
// of a member that is added again, so one that somebody gave a time is removed first.
func edit(family plan.Family, have []nft.Member, want []netip.Addr) nft.Edit {
	e := nft.Edit{Set: set(family)}
	stays := make(map[netip.Addr]bool, len(have))
	for _, m := range have {
		_, wanted := slices.BinarySearchFunc(want, m.From, netip.Addr.Compare)
		if stays[m.From] = wanted && m.Timeout == 0; !stays[m.From] {
			e.Remove = append(e.Remove, nft.Member{From: m.From, To: m.To})
		}
	}
	for _, m := range members(want) {
		if !stays[m.From] {
			e.Add = append(e.Add, m)
		}
	}
	return e
}

// members are addresses as members for good.
func members(addrs []netip.Addr) []nft.Member {
	list := make([]nft.Member, 0, len(addrs))
	for _, a := range addrs {
		list = append(list, nft.Member{From: a, To: a})
	}
	return list
}

func set(family plan.Family) *plan.Set {
	s := &plan.Set{Name: plan.SetOwn(family), Type: plan.TypeIPv4, RunTime: true}
	if family == plan.IPv6 {
		s.Type = plan.TypeIPv6
	}
	return s
}

// takeBack says that the sets are not whole. If that fails the sign ends by itself.
func (k *Keeper) takeBack() {
	for _, family := range k.shown {
		_ = k.conn.ShowOwn([]plan.Family{family}, nil, 0) // it has ended, or will
	}
	k.shown = nil
}
