hops='' count=0 kept=' ' routed=' '

# ready FAMILY DEVICE reports whether a route can lead over the device.
ready() {
	case $(ip link show dev "$2" 2>/dev/null) in
	*[\<,]UP[,\>]*) ;;
	'') say "interface $2 left out: it does not exist"; return 1 ;;
	*) say "interface $2 left out: it is down"; return 1 ;;
	esac
	[ "$1" = -4 ] || [ "$(cat "/proc/sys/net/ipv6/conf/$2/disable_ipv6" 2>/dev/null)" = 0 ] ||
		{ say "interface $2 left out: it has IPv6 disabled"; return 1; }
}

# gateway FAMILY DEVICE prints the gateway of main's best default route over the device, or "link" if that has none.
gateway() {
	ip "$1" -o route show table main default | while read -r line; do
		last='' via='link'
		for word in $line; do
			case $last in
			via) via=$word ;;
			inet6) via="inet6 $word" ;;
			dev) [ "$word" != "$2" ] || echo "$via" ;;
			esac
			[ "$word" != nexthop ] || via='link'
			last=$word
		done
	done | sed -n 1p
}

# addresses FAMILY DEVICE prints the addresses of the device that packets can leave with.
addresses() {
	ip "$1" -o addr show dev "$2" 2>/dev/null | while read -r _ _ _ address rest; do
		case "$address $rest " in
		fe80:* | 169.254.* | 127.* | ::1/*) ;;
		*' scope host '* | *' scope link '* | *' tentative '* | *' dadfailed '*) ;;
		*) echo "${address%/*}" ;;
		esac
	done | sort -u
}

# coming DEVICE prints the IPv6 addresses whose uniqueness is being tested. Link-local ones do not count.
coming() {
	ip -6 -o addr show dev "$1" tentative 2>/dev/null | while read -r _ _ _ address rest; do
		case " $rest " in
		*' scope link '* | *' dadfailed '*) ;;
		*) echo "$address" ;;
		esac
	done
}

# masqueradable FAMILY DEVICE reports whether the device has an address of the family, or will have, or none at all yet.
masqueradable() {
	case $1 in
	-4) other=-6 ;;
	*) other=-4 ;;
	esac
	[ "$(addresses "$1" "$2")" ] || [ -z "$(addresses "$other" "$2")" ] || { [ "$1" = -6 ] && [ "$(coming "$2")" ]; }
}

# hop FAMILY DEVICE GATEWAY weight WEIGHT [onlink] [masquerade] adds a next hop to the route that follows; GATEWAY is an
# address, "auto" (the one that main has) or "link" (none).
hop() {
	if [ "$1" = -6 ] && ! ipv6 || ! ready "$1" "$2"; then
		return 0
	fi
	via=$3 onlink=
	case " $* " in *' onlink '*) onlink=onlink ;; esac
	case " $* " in
	*' masquerade '*) masqueradable "$1" "$2" || { say "interface $2 left out: it has no IPv${1#-} address"; return 0; } ;;
	esac
	if [ "$via" = auto ]; then
		via=$(gateway "$1" "$2")
		[ "$via" ] || { say "interface $2 left out: main has no default route over it (ip $1)"; return 0; }
	fi
	case $via in
	link) via='' onlink='' ;;
	*) via="via $via" ;;
	esac
	count=$((count + 1))
	if [ "$count" -eq 1 ]; then
		single="$via dev $2 $onlink" hops="nexthop $via dev $2 weight $5 $onlink"
	else
		hops="$hops nexthop $via dev $2 weight $5 $onlink"
	fi
}

# route FAMILY DESTINATION table TABLE metric METRIC sets a route over the hops before it.
route() {
	case $count in
	0) return 0 ;;
	1) hops=$single ;;
	esac
	# shellcheck disable=SC2086 # hops are words
	ip "$1" route replace "$2" table "$4" proto 112 metric "$6" $hops
	kept="$kept$1/$2/$4/$6 " routed="$routed$1/$4 "
	hops='' count=0
}

# unless_routed FAMILY TABLE SET ELEMENT has nft take the element out of the set, unless the table has got a route.
unless_routed() {
	case $routed in
	*" $1/$2 "*) ;;
	*) echo "delete element inet pbr $3 { $4 }" ;;
	esac
}

# special FAMILY TYPE DESTINATION table TABLE metric METRIC sets a route that leads nowhere.
special() {
	if [ "$1" = -4 ] || ipv6; then
		ip "$1" route replace "$2" "$3" table "$5" proto 112 metric "$7"
		kept="$kept$1/$3/$5/$7 "
	fi
}
