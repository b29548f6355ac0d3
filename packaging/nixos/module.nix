# NixOS module: services.pbr.enable = true; services.pbr.policy = ''...''; or policyFile.
# UNTESTED: no Nix was at hand; the unit follows packaging/systemd/pbr.service, which is tested.
{ config, lib, pkgs, ... }:
let
  cfg = config.services.pbr;
in
{
  options.services.pbr = {
    enable = lib.mkEnableOption "policy-based routing over several uplinks";
    package = lib.mkOption { type = lib.types.package; description = "The package that has bin/pbr."; };
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
      after = [ "network-pre.target" "network.target" "nftables.service" ];
      reloadTriggers = [ cfg.policyFile ];
      startLimitIntervalSec = 0;
      serviceConfig = {
        Type = "notify";
        ExecStart = "${cfg.package}/bin/pbr watch";
        ExecReload = "${cfg.package}/bin/pbr apply --reload";
        Restart = "always";
        RestartSec = 1;
        RestartPreventExitStatus = 78; # the policy is broken
        WatchdogSec = 30;
        RuntimeDirectory = "pbr";
        RuntimeDirectoryMode = "0700";
        RuntimeDirectoryPreserve = true;
        StateDirectory = "pbr";
        StateDirectoryMode = "0700";
        CapabilityBoundingSet = "CAP_NET_ADMIN CAP_NET_RAW";
        AmbientCapabilities = "CAP_NET_ADMIN CAP_NET_RAW";
      };
    };
  };
}
