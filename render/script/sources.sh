# source_rules FAMILY DEVICE RULE... adds the rule for each address of the device.
source_rules() {
	family=$1 device=$2
	shift 2
	ip "$family" -o addr show dev "$device" 2>/dev/null | while read -r _ _ _ address rest; do
		case "$address $rest " in
		fe80:* | 169.254.* | 127.* | ::1/*) ;;
		*' scope host '* | *' scope link '* | *' tentative '* | *' dadfailed '* | *' deprecated '*) ;;
		*) echo "${address%/*}" ;;
		esac
	done | sort -u | while read -r address; do
		ip "$family" rule add from "$address" "$@"
	done
}
