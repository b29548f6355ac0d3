hops='' count=0 kept=' '

# ready FAMILY DEVICE tells whether a route can lead over the device.
ready() {
	case $(ip link show dev "$2" 2>/dev/null) in
	*[\<,]UP[,\>]*) ;;
	'') say "interface $2 left out: it does not exist"; return 1 ;;
	*) say "interface $2 left out: it is down"; return 1 ;;
	esac
	[ "$1" = -4 ] || [ "$(cat "/proc/sys/net/ipv6/conf/$2/disable_ipv6")" = 0 ] ||
		{ say "interface $2 left out: it has IPv6 disabled"; return 1; }
}

# gateway FAMILY DEVICE prints the gateway of main's best default route over the device, or "link" if that has none.
gateway() {
	ip "$1" -o route show table main default dev "$2" |
		sed -n -e '1s/^default via \(inet6 [^ ]*\).*/\1/p;t' -e '1s/^default via \([^ ]*\).*/\1/p;t' -e '1s/^default.*/link/p'
}

# hop FAMILY DEVICE GATEWAY WEIGHT [onlink] adds a next hop to the route that follows.
hop() {
	if [ "$1" = -6 ] && ! ipv6 || ! ready "$1" "$2"; then
		return 0
	fi
	via=$3
	if [ "$via" = auto ]; then
		via=$(gateway "$1" "$2")
		[ "$via" ] || { say "interface $2 left out: main has no default route over it (ip $1)"; return 0; }
	fi
	case $via in
	link) via='' ;;
	*) via="via $via" ;;
	esac
	count=$((count + 1))
	if [ "$count" -eq 1 ]; then
		single="$via dev $2 ${5-}" hops="nexthop $via dev $2 weight $4 ${5-}"
	else
		hops="$hops nexthop $via dev $2 weight $4 ${5-}"
	fi
}

# route FAMILY DESTINATION TABLE METRIC sets a route over the hops before it.
route() {
	case $count in
	0) return 0 ;;
	1) hops=$single ;;
	esac
	# shellcheck disable=SC2086 # hops are words
	ip "$1" route replace "$2" table "$3" proto 112 metric "$4" $hops
	kept="$kept$1/$2/$3/$4 "
	hops='' count=0
}

# special TYPE FAMILY DESTINATION TABLE METRIC sets a route that leads nowhere.
special() {
	if [ "$2" = -4 ] || ipv6; then
		ip "$2" route replace "$1" "$3" table "$4" proto 112 metric "$5"
		kept="$kept$2/$3/$4/$5 "
	fi
}
