"""Skeletons as other programs export them, with the twist bones, helpers and ends that they have.

How to read them: ``made_up.MIXAMO``.
"""

EXPORTERS = {
    "genesis 8": (
        "hip:hips (pelvis:hips ({s}ThighBend:hip ({s}ThighTwist:hip+knee ({s}Shin:knee ({s}Foot:ankle "
        "({s}Metatarsals:ankle+toe ({s}Toe:toe ({s}BigToe:toes))))))) abdomenLower:spine "
        "(abdomenUpper:spine1 (chestLower:spine2 (chestUpper:spine2+neck (neckLower:neck (neckUpper:neck2 "
        "(head:head)) {s}Collar:collar ({s}ShldrBend:shoulder ({s}ShldrTwist:shoulder+elbow "
        "({s}ForearmBend:elbow ({s}ForearmTwist:elbow+wrist ({s}Hand:wrist ({s}Thumb1:thumb1 "
        "{s}Carpal1:wrist+index1 ({s}Index1:index1 ({s}Index2:index2)) {s}Carpal2:wrist+middle1 "
        "({s}Mid1:middle1 ({s}Mid2:middle2)))))))) {s}Pectoral:collar+spine2)))))"
    ),
    "genesis 9": (
        "hip:hips (pelvis:hips ({s}_thigh:hip ({s}_thightwist1:hip+knee {s}_shin:knee ({s}_foot:ankle "
        "({s}_metatarsal:ankle+toe ({s}_toes:toe ({s}_bigtoe1:toes)))))) spine1:spine (spine2:spine1 "
        "(spine3:spine2 (spine4:spine2+neck (neck1:neck (neck2:neck2 (head:head)) {s}_shoulder:collar "
        "({s}_upperarm:shoulder ({s}_upperarmtwist1:shoulder+elbow {s}_forearm:elbow "
        "({s}_forearmtwist1:elbow+wrist {s}_hand:wrist ({s}_thumb1:thumb1 "
        "{s}_indexmetacarpal:wrist+index1 ({s}_index1:index1 ({s}_index2:index2)) "
        "{s}_midmetacarpal:wrist+middle1 ({s}_mid1:middle1 ({s}_mid2:middle2)))))))))))"
    ),
    "character creator": (
        "CC_Base_BoneRoot:floor (CC_Base_Hip:hips (CC_Base_Pelvis:hips (CC_Base_{L}_Thigh:hip "
        "(CC_Base_{L}_ThighTwist01:hip+knee CC_Base_{L}_Calf:knee (CC_Base_{L}_KneeShareBone:knee "
        "CC_Base_{L}_CalfTwist01:knee+ankle CC_Base_{L}_Foot:ankle (CC_Base_{L}_ToeBase:toe "
        "(CC_Base_{L}_BigToe1:toes) CC_Base_{L}_ToeBaseShareBone:toe)))) CC_Base_Waist:spine "
        "(CC_Base_Spine01:spine1 (CC_Base_Spine02:spine2 (CC_Base_NeckTwist01:neck "
        "(CC_Base_NeckTwist02:neck2 (CC_Base_Head:head (CC_Base_FacialBone:head (CC_Base_JawRoot:head)))) "
        "CC_Base_{L}_Clavicle:collar (CC_Base_{L}_Upperarm:shoulder "
        "(CC_Base_{L}_UpperarmTwist01:shoulder+elbow CC_Base_{L}_Forearm:elbow "
        "(CC_Base_{L}_ElbowShareBone:elbow CC_Base_{L}_ForearmTwist01:elbow+wrist CC_Base_{L}_Hand:wrist "
        "(CC_Base_{L}_Thumb1:thumb1 CC_Base_{L}_Index1:index1 (CC_Base_{L}_Index2:index2) "
        "CC_Base_{L}_Mid1:middle1 (CC_Base_{L}_Mid2:middle2))))) CC_Base_{L}_Breast:collar+spine2)))))"
    ),
    "unreal 4": (
        "root:floor (pelvis:hips (spine_01:spine (spine_02:spine1 (spine_03:spine2 (neck_01:neck "
        "(head:head) clavicle_{s}:collar (upperarm_{s}:shoulder (upperarm_twist_01_{s}:shoulder+elbow "
        "lowerarm_{s}:elbow (lowerarm_twist_01_{s}:elbow+wrist hand_{s}:wrist (thumb_01_{s}:thumb1 "
        "index_01_{s}:index1 (index_02_{s}:index2) middle_01_{s}:middle1 (middle_02_{s}:middle2)))))))) "
        "thigh_{s}:hip (thigh_twist_01_{s}:hip+knee calf_{s}:knee (calf_twist_01_{s}:knee+ankle "
        "foot_{s}:ankle (ball_{s}:toe)))) ik_foot_root:floor (ik_foot_{s}:ankle) ik_hand_root:floor "
        "(ik_hand_gun:wrist (ik_hand_{s}:wrist)))"
    ),
    "unreal 5": (
        "root:floor (pelvis:hips (spine_01:hips+spine (spine_02:spine (spine_03:spine1 (spine_04:spine2 "
        "(spine_05:spine2+neck (neck_01:neck (neck_02:neck2 (head:head)) clavicle_{s}:collar "
        "(upperarm_{s}:shoulder (upperarm_correctiveRoot_{s}:shoulder upperarm_twist_01_{s}:shoulder "
        "upperarm_twist_02_{s}:shoulder+elbow lowerarm_{s}:elbow (lowerarm_correctiveRoot_{s}:elbow "
        "lowerarm_twist_02_{s}:elbow+wrist lowerarm_twist_01_{s}:wrist hand_{s}:wrist "
        "(thumb_01_{s}:thumb1 index_metacarpal_{s}:wrist+index1 (index_01_{s}:index1 "
        "(index_02_{s}:index2)) middle_metacarpal_{s}:wrist+middle1 (middle_01_{s}:middle1 "
        "(middle_02_{s}:middle2))))))))))) thigh_{s}:hip (thigh_correctiveRoot_{s}:hip "
        "thigh_twist_01_{s}:hip+knee calf_{s}:knee (calf_correctiveRoot_{s}:knee "
        "calf_twist_02_{s}:knee+ankle foot_{s}:ankle (ball_{s}:toe)))) ik_foot_root:floor "
        "(ik_foot_{s}:ankle) interaction:floor center_of_mass:hips)"
    ),
    "rigify": (
        "root:floor (DEF-spine:hips (DEF-pelvis.{L}:hips DEF-thigh.{L}:hip (DEF-thigh.{L}.001:hip+knee "
        "(DEF-shin.{L}:knee (DEF-shin.{L}.001:knee+ankle (DEF-foot.{L}:ankle (DEF-toe.{L}:toe))))) "
        "DEF-spine.001:spine (DEF-spine.002:spine1 (DEF-spine.003:spine2 (DEF-breast.{L}:spine2+collar "
        "DEF-shoulder.{L}:collar (DEF-upper_arm.{L}:shoulder (DEF-upper_arm.{L}.001:shoulder+elbow "
        "(DEF-forearm.{L}:elbow (DEF-forearm.{L}.001:elbow+wrist (DEF-hand.{L}:wrist "
        "(DEF-palm.01.{L}:wrist+index1 (DEF-f_index.01.{L}:index1 (DEF-f_index.02.{L}:index2)) "
        "DEF-thumb.01.{L}:thumb1 DEF-palm.02.{L}:wrist+middle1 (DEF-f_middle.01.{L}:middle1 "
        "(DEF-f_middle.02.{L}:middle2)))))))) DEF-spine.004:neck (DEF-spine.005:neck2 (DEF-spine.006:head "
        "(DEF-forehead.{L}:top DEF-jaw:head))))))))"
    ),
    "makehuman for games": (
        "Root:floor (pelvis:hips (spine_01:spine (spine_02:spine1 (spine_03:spine2 (neck_01:neck "
        "(head:head) clavicle_{s}:collar (upperarm_{s}:shoulder (lowerarm_{s}:elbow (hand_{s}:wrist "
        "(thumb_01_{s}:thumb1 index_01_{s}:index1 (index_02_{s}:index2) middle_01_{s}:middle1 "
        "(middle_02_{s}:middle2)))))))) thigh_{s}:hip (calf_{s}:knee (foot_{s}:ankle (ball_{s}:toe)))))"
    ),
    "makehuman": (
        "root:hips (pelvis.{L}:hips+hip (upperleg01.{L}:hip (upperleg02.{L}:hip+knee (lowerleg01.{L}:knee "
        "(lowerleg02.{L}:knee+ankle (foot.{L}:ankle (toe1-1.{L}:toe (toe1-2.{L}:toes))))))) "
        "spine05:hips+spine (spine04:spine (spine03:spine1 (spine02:spine2 (breast.{L}:spine2+collar "
        "spine01:spine2+neck (neck01:neck (neck02:neck2 (neck03:neck2+head (head:head (jaw:head "
        "eye.{L}:top)))) clavicle.{L}:collar (shoulder01.{L}:collar+shoulder (upperarm01.{L}:shoulder "
        "(upperarm02.{L}:shoulder+elbow (lowerarm01.{L}:elbow (lowerarm02.{L}:elbow+wrist "
        "(wrist.{L}:wrist (finger1-1.{L}:thumb1 metacarpal1.{L}:wrist+index1 (finger2-1.{L}:index1 "
        "(finger2-2.{L}:index2)) metacarpal2.{L}:wrist+middle1 (finger3-1.{L}:middle1 "
        "(finger3-2.{L}:middle2)))))))))))))))"
    ),
    "humanik": (
        "Reference:floor (Hips:hips ({}UpLeg:hip ({}UpLegRoll:hip+knee {}Leg:knee ({}LegRoll:knee+ankle "
        "{}Foot:ankle ({}ToeBase:toe))) Spine:spine (Spine1:spine1 (Spine2:spine2 (Neck:neck (Neck1:neck2 "
        "(Head:head)) {}Shoulder:collar ({}Arm:shoulder ({}ArmRoll:shoulder+elbow {}ForeArm:elbow "
        "({}ForeArmRoll:elbow+wrist {}Hand:wrist ({}HandThumb1:thumb1 {}InHandIndex:wrist+index1 "
        "({}HandIndex1:index1 ({}HandIndex2:index2)) {}HandMiddle1:middle1 "
        "({}HandMiddle2:middle2))))))))))"
    ),
    "biped": (
        "Bip01:hips (Bip01_Footsteps:floor Bip01_Pelvis:hips (Bip01_Spine:spine (Bip01_{L}_Thigh:hip "
        "(Bip01_{L}_Calf:knee (Bip01_{L}_Foot:ankle (Bip01_{L}_Toe0:toe (Bip01_{L}_Toe0Nub:toes)))) "
        "Bip01_Spine1:spine1 (Bip01_Spine2:spine2 (Bip01_Neck:neck (Bip01_{L}_Clavicle:collar "
        "(Bip01_{L}_UpperArm:shoulder (Bip01_{L}_ForeTwist:elbow Bip01_{L}_Forearm:elbow "
        "(Bip01_{L}_Hand:wrist (Bip01_{L}_Finger0:thumb1 Bip01_{L}_Finger1:index1 "
        "(Bip01_{L}_Finger11:index2) Bip01_{L}_Finger2:middle1 (Bip01_{L}_Finger21:middle2))))) "
        "Bip01_Head:head (Bip01_HeadNub:top)))))))"
    ),
    "vroid": (
        "Root:floor (J_Bip_C_Hips:hips (J_Bip_C_Spine:spine (J_Bip_C_Chest:spine1 "
        "(J_Bip_C_UpperChest:spine2 (J_Bip_C_Neck:neck (J_Bip_C_Head:head (J_Adj_{L}_FaceEye:top "
        "J_Sec_Hair1_01:top)) J_Sec_{L}_Bust1:spine2+collar J_Bip_{L}_Shoulder:collar "
        "(J_Bip_{L}_UpperArm:shoulder (J_Bip_{L}_LowerArm:elbow (J_Bip_{L}_Hand:wrist "
        "(J_Bip_{L}_Thumb1:thumb1 J_Bip_{L}_Index1:index1 (J_Bip_{L}_Index2:index2) "
        "J_Bip_{L}_Middle1:middle1 (J_Bip_{L}_Middle2:middle2)))))))) J_Bip_{L}_UpperLeg:hip "
        "(J_Sec_{L}_CoatSkirtBack:hip+knee J_Bip_{L}_LowerLeg:knee (J_Bip_{L}_Foot:ankle "
        "(J_Bip_{L}_ToeBase:toe)))))"
    ),
    "advanced skeleton": (
        "Root_M:hips (Hip_{L}:hip (HipPart1_{L}:hip+knee Knee_{L}:knee (Ankle_{L}:ankle (Toes_{L}:toe "
        "(ToesEnd_{L}:toes)))) Spine1_M:spine (Spine2_M:spine1 (Chest_M:spine2 (Neck_M:neck (Head_M:head "
        "(HeadEnd_M:top)) Scapula_{L}:collar (Shoulder_{L}:shoulder (ShoulderPart1_{L}:shoulder+elbow "
        "Elbow_{L}:elbow (ElbowPart1_{L}:elbow+wrist Wrist_{L}:wrist (ThumbFinger1_{L}:thumb1 "
        "IndexFinger1_{L}:index1 (IndexFinger2_{L}:index2) MiddleFinger1_{L}:middle1 "
        "(MiddleFinger2_{L}:middle2)))))))))"
    ),
    "numbers": (
        "Bone:hips (Bone.001:spine (Bone.002:spine1 (Bone.003:spine2 (Bone.004:neck (Bone.005:head "
        "(Bone.006:top)) Bone.1{s}:collar (Bone.2{s}:shoulder (Bone.3{s}:elbow (Bone.4{s}:wrist "
        "(Bone.5{s}:middle1))))))) Bone.6{s}:hip (Bone.7{s}:knee (Bone.8{s}:ankle (Bone.9{s}:toe))))"
    ),
}
