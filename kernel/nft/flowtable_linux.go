package nft

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"pbr/compiler/plan"
	"pbr/compiler/sorting"
)

// addFlowtables makes new flowtables, and adds devices to those that stay.
func (e *edit) addFlowtables() {
	if e.inEarly() {
		return
	}
	for i := range e.changes.Flowtables {
		ch := &e.changes.Flowtables[i]
		switch {
		case ch.Want == nil:
		case ch.Have == nil || ch.Rebuild:
			e.b.message(unix.NFT_MSG_NEWFLOWTABLE, unix.NLM_F_CREATE|unix.NLM_F_EXCL,
				operation{verb: "adding", object: "flowtable", name: ch.Want.Name})
			flowtableAttrs(&e.b.writer, plan.TableName, ch.Want, ch.Want.Devices)
			e.b.setLength()
		case len(ch.Add) > 0:
			e.flowtableDevices(unix.NFT_MSG_NEWFLOWTABLE, unix.NLM_F_CREATE, "adding interfaces to", ch.Want, ch.Add)
		}
	}
}

// removeFlowtables takes devices out of flowtables that stay, and deletes the others.
func (e *edit) removeFlowtables() {
	for i := range e.changes.Flowtables {
		ch := &e.changes.Flowtables[i]
		switch {
		case ch.Have == nil:
		case ch.Want == nil || ch.Rebuild:
			e.b.deleteNamed(unix.NFT_MSG_DELFLOWTABLE, "flowtable", flowtableName, ch.Have.Name, true)
		case len(ch.Remove) > 0:
			e.flowtableDevices(unix.NFT_MSG_DELFLOWTABLE, 0, "taking interfaces out of", ch.Have, ch.Remove)
		}
	}
}

// flowtableDevices adds or deletes some devices of a flowtable (Linux 5.8 and later).
func (e *edit) flowtableDevices(msg, flags uint16, verb string, f *plan.Flowtable, devices []string) {
	e.b.message(msg, flags, operation{verb: verb, object: "flowtable", name: f.Name})
	flowtableAttrs(&e.b.writer, plan.TableName, f, devices)
	e.b.setLength()
}

// flowtableAttrs appends a flowtable's attributes with the given devices. The hook's number is that
// of ingress, the only one that there is (NF_NETDEV_INGRESS, linux/netfilter.h).
func flowtableAttrs(w *writer, table string, f *plan.Flowtable, devices []string) {
	w.str(flowtableTable, table)
	w.str(flowtableName, f.Name)
	hook := w.open(flowtableHook | unix.NLA_F_NESTED)
	w.u32(flowtableHookNum, 0)
	w.u32(flowtableHookPriority, uint32(f.Priority))
	if len(devices) > 0 {
		list := w.open(flowtableHookDevices | unix.NLA_F_NESTED)
		for _, d := range devices {
			w.str(deviceName, d)
		}
		w.shut(list)
	}
	w.shut(hook)
	var flags uint32
	if f.Hardware {
		flags |= flowtableHardware
	}
	if f.Counter {
		flags |= flowtableCounter
	}
	w.u32(flowtableFlags, flags)
}

// decodeFlowtable is the opposite of flowtableAttrs.
func decodeFlowtable(raw []byte) plan.Flowtable {
	hook := attr(raw, flowtableHook)
	flags := number(attr(raw, flowtableFlags))
	f := plan.Flowtable{
		Name:     text(attr(raw, flowtableName)),
		Priority: int32(number(attr(hook, flowtableHookPriority))),
		Hardware: flags&flowtableHardware != 0, Counter: flags&flowtableCounter != 0,
	}
	for _, device := range attrs(attr(hook, flowtableHookDevices)) {
		f.Devices = append(f.Devices, text(device))
	}
	slices.Sort(f.Devices)
	var foreign []string
	if num := number(attr(hook, flowtableHookNum)); num != 0 {
		foreign = append(foreign, fmt.Sprintf("hook %d", num))
	}
	if flags &^= flowtableHardware | flowtableCounter; flags != 0 {
		foreign = append(foreign, fmt.Sprintf("flags %#x", flags))
	}
	f.Foreign = joinForeign(foreign)
	return f
}

// Flowtables returns those of the table, sorted by name.
func (c *Conn) Flowtables() ([]plan.Flowtable, error) {
	list, err := c.flowtables()
	if err != nil {
		return nil, fmt.Errorf("listing flowtables: %w", err)
	}
	return list, nil
}

func (c *Conn) flowtables() ([]plan.Flowtable, error) {
	var list []plan.Flowtable
	err := c.dump(unix.NFT_MSG_GETFLOWTABLE, familyInet, inTable(), func(raw []byte) error {
		if text(attr(raw, flowtableTable)) == plan.TableName {
			list = append(list, decodeFlowtable(raw))
		}
		return nil
	})
	// Without flowtables in the kernel there are none; what it answers to an unknown request
	// differs.
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
		return nil, err
	}
	sorting.Func(list, func(a, b plan.Flowtable) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (r *reader) flowtables() (err error) {
	r.live.Ruleset.Flowtables, err = r.c.flowtables()
	return err
}

// Refresh returns l with its flowtables as they are now: an interface that goes away leaves them,
// without a new generation.
func (c *Conn) Refresh(l *Live) (*Live, error) {
	if len(l.Ruleset.Flowtables) == 0 {
		return l, nil
	}
	now := *l
	var err error
	if now.Ruleset.Flowtables, err = c.Flowtables(); err != nil {
		return nil, err
	}
	return &now, nil
}
