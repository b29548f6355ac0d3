# NixOS module: services.pbr.enable = true; services.pbr.policy = ''...''; or policyFile.
# UNTESTED on NixOS. Checked with nix-bin of Debian 13 (Nix 2.26): nix-instantiate --parse, and --eval --strict of this module and of
# package.nix with a stub in the place of nixpkgs. The unit is packaging/systemd/pbr.service, which is tested: a test
# compares the two.
{ config, lib, pkgs, ... }:
let
  cfg = config.services.pbr;
in
{
  options.services.pbr = {
    enable = lib.mkEnableOption "policy-based routing over several uplinks";
    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = "package.nix, built";
      description = "The package that has bin/pbr.";
    };
    policy = lib.mkOption { type = lib.types.lines; default = ""; description = "The policy, in TOML."; };
    policyFile = lib.mkOption {
      type = lib.types.path;
      default = pkgs.writeText "pbr.toml" cfg.policy;
      defaultText = "policy, as a file";
      description = "The policy file.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];
    environment.etc."pbr/pbr.toml".source = cfg.policyFile;
    # networkd removes rules and routes that it does not know.
    systemd.network.config.networkConfig = { ManageForeignRoutes = false; ManageForeignRoutingPolicyRules = false; };
    systemd.services.pbr = {
      description = "Policy-based routing: watch uplinks";
      wantedBy = [ "multi-user.target" ];
      after = [ "network-pre.target" "network.target" "nftables.service" "systemd-sysctl.service" ];
      before = [ "dnsmasq.service" ];
      reloadTriggers = [ cfg.policyFile ];
      startLimitIntervalSec = 0;
      serviceConfig = {
        Type = "notify";
        ExecStart = "${cfg.package}/bin/pbr watch";
        ExecReload = "${cfg.package}/bin/pbr apply --reload";
        Restart = "always";
        RestartSec = 1;
        # The policy file is broken: to start again would not help.
        RestartPreventExitStatus = 78;
        NotifyAccess = "main";
        WatchdogSec = 30;
        TimeoutStartSec = 60;
        TimeoutStopSec = 20;
        KillMode = "mixed";
        RuntimeDirectory = "pbr";
        RuntimeDirectoryMode = "0700";
        RuntimeDirectoryPreserve = true;
        StateDirectory = "pbr";
        StateDirectoryMode = "0700";
        CapabilityBoundingSet = "CAP_NET_ADMIN CAP_NET_RAW";
        AmbientCapabilities = "CAP_NET_ADMIN CAP_NET_RAW";
        NoNewPrivileges = true;
        ProtectSystem = "strict";
        ProtectHome = true;
        PrivateTmp = true;
        PrivateDevices = true;
        ProtectKernelTunables = true;
        ReadWritePaths = [ "/proc/sys/net" "-/etc/dnsmasq.d" ];
        ProtectKernelModules = true;
        ProtectKernelLogs = true;
        ProtectControlGroups = true;
        ProtectClock = true;
        ProtectHostname = true;
        RestrictAddressFamilies = "AF_UNIX AF_NETLINK AF_INET AF_INET6 AF_PACKET";
        RestrictNamespaces = true;
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
        LockPersonality = true;
        MemoryDenyWriteExecute = true;
        SystemCallArchitectures = "native";
        SystemCallFilter = "@system-service";
        UMask = "0077";
      };
    };
  };
}
