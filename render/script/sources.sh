# source_rules FAMILY DEVICE RULE... adds the rule for each address of the device.
source_rules() {
	family=$1 device=$2
	shift 2
	addresses "$family" "$device" | while read -r address; do
		ip "$family" rule add from "$address" "$@"
	done
}
