#!/bin/sh
# Prints a directory with a Debian 13 to boot, made of its packages: vmlinuz, initrd.img, and root.img (ext4).
# It is kept in the cache and rebuilt when this file changes; nothing is installed on this machine but what makes it.
set -eu

cache=${PBR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/pbr}
dir=$cache/boot-trixie-$(sha256sum <"$0" | cut -c 1-12)
if [ ! -d "$dir" ]; then
	mirror=$(sed -n 's/^URIs: *\(.*debian\) *$/\1/p; s/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*debian\/\{0,1\}\) .*/\2/p' \
		/etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1)
	mkdir -p "$cache"
	new=$(mktemp -d "$cache/new-boot-XXXXXX")
	trap 'rm -rf "$new"' EXIT
	# What a router has, and the three managers of its network, of which each guest enables one. Drivers that a guest has no
	# device for are left out, as are texts.
	mmdebstrap --variant=minbase --mode=root --include=systemd-sysv,udev,dbus,kmod,linux-image-amd64,initramfs-tools,zstd \
		--include=nftables,iproute2,iputils-ping,conntrack,dnsmasq,socat \
		--include=ifupdown,dhcpcd-base,network-manager,networkd-dispatcher \
		--dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/lib/modules/*/kernel/sound/*' --dpkgopt='path-exclude=/usr/lib/modules/*/kernel/drivers/gpu/*' \
		--dpkgopt='path-exclude=/usr/lib/modules/*/kernel/drivers/media/*' --dpkgopt='path-exclude=/usr/lib/modules/*/kernel/drivers/net/wireless/*' \
		--essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"; echo MODULES=list >"$1/etc/initramfs-tools/conf.d/guest"' \
		--customize-hook='printf "virtio_pci\nvirtio_blk\next4\n" >>"$1/etc/initramfs-tools/modules"; chroot "$1" update-initramfs -u' \
		trixie "$new/tree" "${mirror:?no Debian archive in the sources of apt}" >&2
	tree=$new/tree
	echo router >"$tree/etc/hostname"
	echo '127.0.0.1 localhost router' >"$tree/etc/hosts"
	echo '/dev/vda / ext4 defaults 0 0' >"$tree/etc/fstab"
	tr -d - </proc/sys/kernel/random/uuid >"$tree/etc/machine-id" # without one it were a first boot, which enables every unit
	cat >"$tree/etc/systemd/system/guest-agent.service" <<-'END'
		# Does what the tests ask for: integration/boot/agent. It has the share, and is up before anything is configured.
		[Unit]
		DefaultDependencies=no
		After=systemd-udevd.service systemd-tmpfiles-setup-dev.service
		[Service]
		ExecStartPre=/bin/sh -c 'modprobe -a 9pnet_virtio virtio_console; mkdir -p /run/share; mount -t 9p -o trans=virtio,version=9p2000.L share /run/share'
		ExecStart=/run/share/agent
		[Install]
		WantedBy=sysinit.target
	END
	chroot "$tree" systemctl -q enable guest-agent.service
	chroot "$tree" systemctl -q disable NetworkManager.service NetworkManager-dispatcher.service NetworkManager-wait-online.service networking.service \
		systemd-networkd.service networkd-dispatcher.service dnsmasq.service
	chroot "$tree" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
		getty@tty1.service serial-getty@ttyS0.service modprobe@drm.service modprobe@efi_pstore.service modprobe@fuse.service systemd-logind.service
	mv "$(readlink -f "$tree/vmlinuz")" "$new/vmlinuz"
	mv "$(readlink -f "$tree/initrd.img")" "$new/initrd.img"
	rm -rf "$tree/var/lib/apt/lists" "$tree/var/cache/apt" && mkdir -p "$tree/var/lib/apt/lists/partial" "$tree/var/cache/apt/archives/partial"
	mke2fs -q -F -t ext4 -L root -d "$tree" "$new/root.img" 2G >&2
	rm -rf "$tree"
	chmod 755 "$new"
	mv "$new" "$dir" || [ -d "$dir" ] # somebody else was faster
fi
echo "$dir"
